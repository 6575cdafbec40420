-- Two classes that swap pictures. `swaps` counts pseudo-labels that went from one to the other in a pass, `moved` answers
-- that adaptation moved between them, `confused` pictures of one that were answered as the other (null without labels).
SELECT pairs.run, a.name AS class, b.name AS other, sum(pairs.swaps) AS swaps, sum(pairs.moved) AS moved,
       CASE WHEN (SELECT count(*) FROM labels) > 0 THEN sum(pairs.confused) END AS confused
FROM (
  SELECT run, least(previous_class_id, class_id) AS a, greatest(previous_class_id, class_id) AS b,
         1 AS swaps, 0 AS moved, 0 AS confused
  FROM pseudo_labels WHERE previous_class_id <> class_id
  UNION ALL
  SELECT run, least(zero_shot_class_id, class_id), greatest(zero_shot_class_id, class_id), 0, 1, 0
  FROM predictions WHERE zero_shot_class_id <> class_id
  UNION ALL
  SELECT p.run, least(l.class_id, p.class_id), greatest(l.class_id, p.class_id), 0, 0, 1
  FROM predictions p JOIN labels l ON l.image_id = p.image_id WHERE l.class_id <> p.class_id
) pairs
JOIN classes a ON a.class_id = pairs.a
JOIN classes b ON b.class_id = pairs.b
GROUP BY pairs.run, a.name, b.name
ORDER BY pairs.run, sum(pairs.swaps) + sum(pairs.moved) + sum(pairs.confused) DESC, class, other
