-- Two pictures that the frozen model can hardly tell apart: the cosine of their embeddings is above 0.99; it is 1 for two files with
-- the same bytes. A picture's pairs are among its nearest
-- neighbours. Look for pairs across splits, and for pairs with two labels.
SELECT round(pair.cosine, 4) AS cosine, left_image.path AS path, left_image.split AS split,
       right_image.path AS other_path, right_image.split AS other_split, left_truth.name AS truth, right_truth.name AS other_truth
FROM (
  SELECT least(image_id, other_id) AS a, greatest(image_id, other_id) AS b, max(cosine) AS cosine
  FROM neighbours WHERE cosine > 0.99 GROUP BY least(image_id, other_id), greatest(image_id, other_id)
) pair
JOIN images left_image ON left_image.image_id = pair.a
JOIN images right_image ON right_image.image_id = pair.b
LEFT JOIN labels l ON l.image_id = pair.a
LEFT JOIN classes left_truth ON left_truth.class_id = l.class_id
LEFT JOIN labels r ON r.image_id = pair.b
LEFT JOIN classes right_truth ON right_truth.class_id = r.class_id
UNION ALL
SELECT CAST(1 AS REAL) AS cosine, a.path, a.split, b.path AS other_path, b.split AS other_split,
       first_truth.name AS truth, second_truth.name AS other_truth
FROM equal_files a
JOIN equal_files b ON b.image_id = a.image_id AND a.path < b.path
LEFT JOIN classes first_truth ON first_truth.class_id = a.class_id
LEFT JOIN classes second_truth ON second_truth.class_id = b.class_id
ORDER BY cosine DESC, path, other_path
