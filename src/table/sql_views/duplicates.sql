-- Two pictures that the frozen model can hardly tell apart: the cosine of their embeddings is above 0.99. Look for pairs
-- across splits, and for pairs with two labels.
SELECT round(cosine(a.cls_feature, b.cls_feature), 4) AS cosine, left_image.path AS path, left_image.split AS split,
       right_image.path AS other_path, right_image.split AS other_split, left_truth.name AS truth, right_truth.name AS other_truth
FROM embeddings a
JOIN embeddings b ON a.image_id < b.image_id AND cosine(a.cls_feature, b.cls_feature) > 0.99
JOIN images left_image ON left_image.image_id = a.image_id
JOIN images right_image ON right_image.image_id = b.image_id
LEFT JOIN labels l ON l.image_id = a.image_id
LEFT JOIN classes left_truth ON left_truth.class_id = l.class_id
LEFT JOIN labels r ON r.image_id = b.image_id
LEFT JOIN classes right_truth ON right_truth.class_id = r.class_id
ORDER BY cosine DESC, path, other_path
