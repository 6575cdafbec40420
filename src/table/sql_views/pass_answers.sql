-- What the model being trained said of a picture in a pass, by itself: the class of its largest cosine, and by how much it
-- leads. Read from `fusion_logits`, or from `top_logits` where `adapt.keep` has left those; without rows of a pass of which
-- it has left nothing. `margin` is null where only the largest is left.
SELECT model.run, model.pass, model.image_id, model.class_id, model.margin
FROM (
  SELECT run, pass, image_id, argmax(logits) AS class_id, margin(logits) AS margin FROM fusion_logits
) model
LEFT JOIN passes p ON p.run = model.run AND p.pass = model.pass
WHERE p.kept IS NULL
UNION ALL
SELECT best.run, best.pass, best.image_id, best.class_id, best.margin
FROM (
  SELECT run, pass, image_id, class_ids[1] AS class_id, CASE WHEN class_ids[2] IS NOT NULL THEN margin(logits) END AS margin
  FROM top_logits
) best
JOIN passes p ON p.run = best.run AND p.pass = best.pass
WHERE p.kept > 0
