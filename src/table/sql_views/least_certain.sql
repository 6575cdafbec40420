-- A picture with its answer, the least certain first.
SELECT p.run, p.image_id, i.path, p.split, answer.name AS answer, p.confidence, p.margin, frozen.name AS zero_shot,
       truth.name AS truth
FROM predictions p
JOIN images i ON i.image_id = p.image_id
JOIN classes answer ON answer.class_id = p.class_id
LEFT JOIN classes frozen ON frozen.class_id = p.zero_shot_class_id
LEFT JOIN labels l ON l.image_id = p.image_id
LEFT JOIN classes truth ON truth.class_id = l.class_id
ORDER BY p.run, p.confidence, i.path
