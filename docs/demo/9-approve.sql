SELECT * FROM hub.approval_queue;
SELECT hub.approve(1, 'message texts only, ten rows');
