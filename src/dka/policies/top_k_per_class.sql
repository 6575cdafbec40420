-- For each class the $k pictures that are most probable for it: every class is trained on equally often, however unequally the
-- model names them, and pictures that are sure of nothing are left out (as in unsupervised prompt learning, UPL).
-- A picture wanted by several classes goes to the one it is most probable for; the others take no other picture for it, so
-- a class may get fewer than $k. Ties: the first image_id, the first class.
WITH mixed AS (
    SELECT prior_logits.image_id, mix(prior_logits.logits, fusion_logits.logits, $gamma) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
), scored AS (
    SELECT image_id, softmax(logits, $scale) AS probabilities, argmax(logits) AS best FROM mixed
), figures AS (
    SELECT image_id, best, max_of(probabilities) AS most, margin(probabilities) AS margin FROM scored
), wanted AS (
    -- Each class keeps $k pictures while the others pass by; a row for each picture and class would fill the memory.
    SELECT unnest(best_per_class(image_id, probabilities, $k)) AS pair FROM scored
), pairs AS (
    SELECT pair['image_id'] AS image_id, pair['class_id'] AS class_id, pair['value'] AS probability FROM wanted
), claimed AS (
    SELECT *, row_number() OVER (PARTITION BY image_id ORDER BY probability DESC, class_id) AS choice FROM pairs
)
SELECT
    claimed.image_id, class_id, probability AS confidence,
    -- Less the best other class: below 0 where the picture looks more like another.
    CASE WHEN class_id = best THEN margin ELSE probability - most END AS margin
FROM claimed
JOIN figures ON figures.image_id = claimed.image_id
WHERE choice = 1
ORDER BY claimed.image_id
