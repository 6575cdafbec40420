-- How a pass went. `accuracy` is the share of its pseudo-labels that are right, where labels are known.
SELECT p.run, p.pass, p.images, p.changed, p.changed / CAST(nullif(p.images, 0) AS DOUBLE) AS changed_share, p.dead_classes,
       p.mean_confidence, t.accuracy, p.loss, p.ce, p.fairness, p.learning_rate, p.seconds,
       p.spared_agreement, p.moved_agreement, p.recoloured_agreement
FROM passes p
LEFT JOIN (
  SELECT s.run, s.pass, avg(CAST(s.class_id = l.class_id AS DOUBLE)) AS accuracy
  FROM pseudo_labels s JOIN labels l ON l.image_id = s.image_id
  GROUP BY s.run, s.pass
) t ON t.run = p.run AND t.pass = p.pass
ORDER BY p.run, p.pass
