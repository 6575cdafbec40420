-- How many pictures of one class were answered as another, or rightly. Empty without labels.
SELECT c.run, c.split, truth.name AS truth, answer.name AS answer, c.images,
       c.images / CAST(sum(c.images) OVER (PARTITION BY c.run, c.split, c.truth_id) AS DOUBLE) AS share
FROM (
  SELECT p.run, p.split, l.class_id AS truth_id, p.class_id AS answer_id, count(*) AS images
  FROM predictions p JOIN labels l ON l.image_id = p.image_id
  GROUP BY p.run, p.split, l.class_id, p.class_id
) c
JOIN classes truth ON truth.class_id = c.truth_id
JOIN classes answer ON answer.class_id = c.answer_id
ORDER BY c.run, c.split, truth, c.images DESC, answer
