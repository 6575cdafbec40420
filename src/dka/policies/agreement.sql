-- Only pictures for which the prior and the model under training, each by itself, name the same class: two witnesses.
-- The class that both name is also the best of their mixture, so that these rows are rows of argmax.sql, with its confidence.
WITH mixed AS (
    SELECT prior_logits.image_id, mix(prior_logits.logits, fusion_logits.logits, $gamma) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
    WHERE argmax(prior_logits.logits) = argmax(fusion_logits.logits)
), scored AS (
    SELECT image_id, logits, softmax(logits, $scale) AS probabilities FROM mixed
)
SELECT image_id, argmax(logits) AS class_id, max_of(probabilities) AS confidence, margin(probabilities) AS margin
FROM scored
ORDER BY image_id
