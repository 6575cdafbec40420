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
), pairs AS (
    -- A row for each picture and class.
    SELECT
        image_id, best, max_of(probabilities) AS most, margin(probabilities) AS margin,
        unnest(range(0, cardinality(probabilities))) AS class_id, unnest(probabilities) AS probability
    FROM scored
), wanted AS (
    SELECT *, row_number() OVER (PARTITION BY class_id ORDER BY probability DESC, image_id) AS place FROM pairs
), claimed AS (
    SELECT *, row_number() OVER (PARTITION BY image_id ORDER BY probability DESC, class_id) AS choice
    FROM wanted
    WHERE place <= $k
)
SELECT
    image_id, class_id, probability AS confidence,
    -- Less the best other class: below 0 where the picture looks more like another.
    CASE WHEN class_id = best THEN margin ELSE probability - most END AS margin
FROM claimed
WHERE choice = 1
ORDER BY image_id
