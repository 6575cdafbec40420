-- A picture whose pseudo-label changed in a pass, from what to what.
SELECT p.run, p.pass, p.image_id, i.path, was.name AS was, now.name AS now, p.confidence, p.margin, truth.name AS truth
FROM pseudo_labels p
JOIN images i ON i.image_id = p.image_id
JOIN classes was ON was.class_id = p.previous_class_id
JOIN classes now ON now.class_id = p.class_id
LEFT JOIN labels l ON l.image_id = p.image_id
LEFT JOIN classes truth ON truth.class_id = l.class_id
WHERE p.class_id <> p.previous_class_id
ORDER BY p.run, p.pass DESC, p.confidence DESC, i.path
