-- An example of one's own pseudo-labels: `statement = "steady.sql"` under [dka].
--
-- A picture keeps the class of the pass before until another is better by a margin of at least $floor. Labels that go back
-- and forth between two look-alikes teach the model nothing; here they stay, until it is sure.
WITH mixed AS (
    SELECT prior_logits.image_id, mix(prior_logits.logits, fusion_logits.logits, $gamma) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
), scored AS (
    SELECT image_id, argmax(logits) AS best, softmax(logits, $scale) AS probabilities FROM mixed
), chosen AS (
    -- `previous` has no rows in the first pass, and none for a picture that was left out.
    SELECT
        scored.image_id, probabilities,
        CASE WHEN previous.class_id IS NULL OR margin(probabilities) >= $floor THEN best ELSE previous.class_id END
            AS class_id
    FROM scored
    LEFT JOIN previous ON previous.image_id = scored.image_id
)
-- Lists are counted from 1, classes from 0.
SELECT image_id, class_id, probabilities[class_id + 1] AS confidence
FROM chosen
ORDER BY image_id
