-- The best class of gamma * prior + (1 - gamma) * fusion, only where its probability is at least $floor: fewer labels, and
-- fewer of them wrong. The other pictures are not trained on in this pass; a later one may be sure of them.
WITH mixed AS (
    SELECT prior_logits.image_id, mix(prior_logits.logits, fusion_logits.logits, $gamma) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
), scored AS (
    SELECT image_id, logits, softmax(logits, $scale) AS probabilities FROM mixed
)
SELECT image_id, argmax(logits) AS class_id, max_of(probabilities) AS confidence, margin(probabilities) AS margin
FROM scored
WHERE max_of(probabilities) >= $floor
ORDER BY image_id
