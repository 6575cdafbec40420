"""Questions in SQL about two passes over pictures whose labels are known."""

QUESTIONS = {
    "top-1 by class": "SELECT l.class_id, avg(CASE WHEN p.class_id = l.class_id THEN 1.0 ELSE 0.0 END) AS top1 "
    "FROM pseudo_labels p JOIN labels l ON l.image_id = p.image_id WHERE p.pass = 1 GROUP BY l.class_id ORDER BY l.class_id",
    "changed labels": "SELECT previous_class_id, class_id, count(*) AS changed FROM pseudo_labels "
    "WHERE pass = 1 AND class_id <> previous_class_id GROUP BY previous_class_id, class_id "
    "ORDER BY changed DESC, previous_class_id, class_id LIMIT 100",
    "confusion": "SELECT l.class_id AS truth, p.class_id AS answer, count(*) AS pictures "
    "FROM pseudo_labels p JOIN labels l ON l.image_id = p.image_id WHERE p.pass = 1 AND p.class_id <> l.class_id "
    "GROUP BY l.class_id, p.class_id ORDER BY pictures DESC, truth, answer LIMIT 100",
}
