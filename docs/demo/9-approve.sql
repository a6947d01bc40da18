SELECT request, action, reason, requested_by, status, mine FROM hub.approval_queue;
SELECT hub.approve(1, 'message texts only, ten rows');
