SELECT hub.approve(1);
SELECT count(*) FROM hub.export(1);
