-- The best class of gamma * prior + (1 - gamma) * fusion after the classes were balanced over all pictures: $bias is the solution of
-- a relaxed optimal transport from the pictures to the shares of the classes, as strongly as `dka.balance` pulls. A class that
-- everything resembles a little gives its pictures up to those that are named too rarely. $bias is all zeros where nothing is pulled.
WITH mixed AS (
    SELECT prior_logits.image_id, add(mix(prior_logits.logits, fusion_logits.logits, $gamma), $bias) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
), scored AS (
    SELECT image_id, logits, softmax(logits, $scale) AS probabilities FROM mixed
)
SELECT image_id, argmax(logits) AS class_id, max_of(probabilities) AS confidence, margin(probabilities) AS margin
FROM scored
ORDER BY image_id
