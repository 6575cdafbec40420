-- How far neighbours agree in a pass. Of the pairs of a picture and one of its nearest neighbours that both have a pseudo-label,
-- `same` is the share that have the same one, and `by_chance` what it would be if these labels were dealt out at random.
SELECT found.run, found.pass, found.pairs, found.same, dealt.by_chance
FROM (
  SELECT own.run, own.pass, count(*) AS pairs, avg(CAST(own.class_id = other.class_id AS DOUBLE)) AS same
  FROM pseudo_labels own
  JOIN neighbours n ON n.image_id = own.image_id
  JOIN pseudo_labels other ON other.run = own.run AND other.pass = own.pass AND other.image_id = n.other_id
  GROUP BY own.run, own.pass
) found
JOIN (
  SELECT run, pass, sum(CAST(images AS DOUBLE) * images) / (CAST(sum(images) AS DOUBLE) * sum(images)) AS by_chance
  FROM (SELECT run, pass, class_id, count(*) AS images FROM pseudo_labels GROUP BY run, pass, class_id) classes
  GROUP BY run, pass
) dealt ON dealt.run = found.run AND dealt.pass = found.pass
ORDER BY found.run, found.pass
