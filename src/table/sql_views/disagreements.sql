-- A training picture that the prior and the model being trained saw as different classes, in a pass; margins are of
-- cosines, and the one that is sure of itself comes first.
SELECT f.run, f.pass, f.image_id, i.path, prior.name AS prior, f.prior_margin, fusion.name AS fusion, f.fusion_margin,
       chosen.name AS pseudo_label, truth.name AS truth
FROM (
  SELECT model.run, model.pass, model.image_id, prior.prior_id, prior.prior_margin, model.fusion_id, model.fusion_margin
  FROM (
    SELECT run, pass, image_id, class_id AS fusion_id, margin AS fusion_margin FROM all_runs.pass_answers
  ) model
  JOIN (SELECT run, image_id, argmax(logits) AS prior_id, margin(logits) AS prior_margin FROM prior_logits) prior
    ON prior.run = model.run AND prior.image_id = model.image_id
) f
JOIN images i ON i.image_id = f.image_id
JOIN classes prior ON prior.class_id = f.prior_id
JOIN classes fusion ON fusion.class_id = f.fusion_id
LEFT JOIN pseudo_labels s ON s.run = f.run AND s.pass = f.pass AND s.image_id = f.image_id
LEFT JOIN classes chosen ON chosen.class_id = s.class_id
LEFT JOIN labels l ON l.image_id = f.image_id
LEFT JOIN classes truth ON truth.class_id = l.class_id
WHERE f.prior_id <> f.fusion_id
ORDER BY f.run, f.pass DESC, greatest(f.prior_margin, f.fusion_margin) DESC, i.path
