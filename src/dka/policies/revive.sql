-- argmax.sql, but no class dies. A class that no picture was given has no example to learn from, and is given none in the
-- next pass either; here it takes up to $k pictures, those in which it is most probable, from classes that have more than one.
--
-- 1. A living class keeps its most probable picture, whatever comes, so that none is killed for another.
-- 2. Every dead class gets one picture. Of all pairs of a dead class and a free picture the most probable is settled first;
--    then, of the pairs with neither, the next. With as many pictures as classes, every class ends with at least one.
-- 3. Every dead class gets further free pictures up to $k in all; one that several want goes to the class it is most
--    probable for.
-- Ties: the first image_id, the first class.
WITH RECURSIVE mixed AS (
    SELECT prior_logits.image_id, mix(prior_logits.logits, fusion_logits.logits, $gamma) AS logits
    FROM prior_logits
    JOIN fusion_logits ON fusion_logits.image_id = prior_logits.image_id
), scored AS (
    SELECT image_id, softmax(logits, $scale) AS probabilities, argmax(logits) AS best FROM mixed
), figures AS (
    SELECT image_id, best, max_of(probabilities) AS most, margin(probabilities) AS margin FROM scored
), labelled AS (
    SELECT *, row_number() OVER (PARTITION BY best ORDER BY most DESC, image_id) AS place_in_class FROM figures
), classes AS (
    SELECT unnest(range(0, (SELECT max(cardinality(probabilities)) FROM scored))) AS class_id
), living AS (
    SELECT DISTINCT best FROM figures
), mask AS (
    -- What is added to a picture's probabilities: nothing for a dead class, and for a living one NaN, which nobody keeps.
    SELECT
        array_agg(CASE WHEN best IS NULL THEN 0.0 ELSE 'NaN'::float END ORDER BY class_id) AS is_dead, count(*) AS classes
    FROM classes
    LEFT JOIN living ON living.best = classes.class_id
), kept AS (
    -- No class gets further down its list than this: the living classes keep a picture each, step 2 hands out one to each dead
    -- class, and step 3 at most $k.
    SELECT unnest(best_per_class(image_id, add(probabilities, is_dead), classes + $k)) AS pair FROM scored CROSS JOIN mask
), pairs AS (
    SELECT pair['image_id'] AS image_id, pair['class_id'] AS class_id, pair['value'] AS probability FROM kept
), dead AS (
    SELECT * FROM pairs WHERE image_id NOT IN (SELECT image_id FROM labelled WHERE place_in_class = 1)
), rounds AS (
    SELECT image_id, class_id, probability, 0 AS settled FROM dead
    UNION ALL
    -- A round settles every pair that is the best for its class and for its picture, and drops the pairs with either. The
    -- best of all pairs is such a one, so that rounds come to an end.
    SELECT image_id, class_id, probability, mutual AS settled
    FROM (
        SELECT
            *, max(mutual) OVER (PARTITION BY class_id) AS class_served,
            max(mutual) OVER (PARTITION BY image_id) AS picture_gone
        FROM (
            SELECT
                image_id, class_id, probability,
                CASE WHEN row_number() OVER (PARTITION BY class_id ORDER BY probability DESC, image_id) = 1
                    AND row_number() OVER (PARTITION BY image_id ORDER BY probability DESC, class_id) = 1
                    THEN 1 ELSE 0 END AS mutual
            FROM rounds
            WHERE settled = 0
        )
    )
    WHERE mutual = 1 OR (class_served = 0 AND picture_gone = 0)
), settled AS (
    SELECT image_id, class_id, probability, max(settled) AS settled FROM rounds GROUP BY image_id, class_id, probability
), rest AS (
    SELECT *, max(settled) OVER (PARTITION BY image_id) AS picture_gone FROM settled
), wanted AS (
    SELECT
        *, row_number() OVER (PARTITION BY class_id, picture_gone ORDER BY probability DESC, image_id) AS place
    FROM rest
), claimed AS (
    SELECT *, row_number() OVER (PARTITION BY image_id ORDER BY settled DESC, probability DESC, class_id) AS choice
    FROM wanted
    WHERE settled = 1 OR (picture_gone = 0 AND place < $k)
), revived AS (
    SELECT image_id, class_id, probability FROM claimed WHERE choice = 1
)
SELECT
    labelled.image_id, coalesce(revived.class_id, labelled.best) AS class_id,
    coalesce(revived.probability, labelled.most) AS confidence,
    -- Less the best other class: below 0 for a picture that was taken.
    coalesce(revived.probability - labelled.most, labelled.margin) AS margin
FROM labelled
LEFT JOIN revived ON revived.image_id = labelled.image_id
ORDER BY labelled.image_id
