SELECT * FROM hub.export(1) e ORDER BY e->>'kind', e->>'body';
SELECT * FROM hub.export(1);
