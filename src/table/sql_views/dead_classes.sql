-- A class that no pseudo-label of the last pass names. `images` is how many pictures it has, where labels are known.
SELECT last.run, last.pass, c.name AS class, coalesce(a.answers, 0) AS answers, t.images
FROM (SELECT run, max(pass) AS pass FROM pseudo_labels GROUP BY run) last
CROSS JOIN classes c
LEFT JOIN (SELECT run, class_id, count(*) AS answers FROM predictions GROUP BY run, class_id) a
       ON a.run = last.run AND a.class_id = c.class_id
LEFT JOIN (SELECT class_id, count(*) AS images FROM labels GROUP BY class_id) t ON t.class_id = c.class_id
LEFT ANTI JOIN pseudo_labels p ON p.run = last.run AND p.pass = last.pass AND p.class_id = c.class_id
ORDER BY last.run, class
