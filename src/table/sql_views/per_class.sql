-- A class in a split: how often it was answered, and how often rightly before adaptation and after. Without labels only the
-- answers are known.
SELECT s.run, s.split, c.name AS class, coalesce(a.answers, 0) AS answers, coalesce(z.answers, 0) AS zero_shot_answers,
       t.images, t.zero_shot, t.accuracy, t.accuracy - t.zero_shot AS change
FROM (SELECT DISTINCT run, split FROM predictions) s
CROSS JOIN classes c
LEFT JOIN (SELECT run, split, class_id, count(*) AS answers FROM predictions GROUP BY run, split, class_id) a
       ON a.run = s.run AND a.split = s.split AND a.class_id = c.class_id
LEFT JOIN (
  SELECT run, split, zero_shot_class_id AS class_id, count(*) AS answers
  FROM predictions GROUP BY run, split, zero_shot_class_id
) z ON z.run = s.run AND z.split = s.split AND z.class_id = c.class_id
LEFT JOIN (
  SELECT p.run, p.split, l.class_id, count(*) AS images,
         avg(CAST(p.zero_shot_class_id = l.class_id AS DOUBLE)) AS zero_shot,
         avg(CAST(p.class_id = l.class_id AS DOUBLE)) AS accuracy
  FROM predictions p JOIN labels l ON l.image_id = p.image_id
  GROUP BY p.run, p.split, l.class_id
) t ON t.run = s.run AND t.split = s.split AND t.class_id = c.class_id
ORDER BY s.run, s.split, class
