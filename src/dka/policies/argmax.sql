-- The pseudo-label of every picture: the best class of gamma * prior + (1 - gamma) * fusion.
-- Both are cosines; probabilities are their softmax after a factor of $scale, the one that the model is trained with.
WITH mixed AS (
    SELECT prior_logits.image_id, mix(prior_logits.logits, fusion_logits.logits, $gamma) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
), scored AS (
    SELECT image_id, logits, softmax(logits, $scale) AS probabilities FROM mixed
)
SELECT image_id, argmax(logits) AS class_id, max_of(probabilities) AS confidence, margin(probabilities) AS margin
FROM scored
ORDER BY image_id
