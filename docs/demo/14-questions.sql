SELECT customer_id AS customer FROM crm.identity WHERE phone = '+4915112345678' \gset
SELECT hub.wait_for_audit() \g /dev/null

-- 1. Who was shown anything of this person?
SELECT login, role, data_class, count(*) > 0 AS seen FROM hub.who_viewed(:'customer') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- 2. What did this member do? (alice is member 1)
SELECT kind, count(*) > 0 AS done FROM hub.activity_of(1) GROUP BY kind ORDER BY kind;
-- 3. How much did each role see, by day?
SELECT role, max(members) AS members, sum(reveals) > 0 AS saw_values FROM hub.access_by_day() GROUP BY role ORDER BY role;
-- 4. What was this field before, and who changed it?
SELECT operation, old_value, new_value, login FROM hub.field_history('crm.customer', jsonb_build_object('customer_id', :'customer'), 'follow_up');
-- 5. What was refused, to whom?
SELECT kind, details->>'attempt' AS attempt, login FROM hub.denied_attempts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- 6. What left in bulk, under which request?
SELECT login, details->>'request' AS request, details->>'rows' AS rows FROM hub.exports WHERE details ? 'rows';
-- 7. Who got which rights?
SELECT DISTINCT relation, operation FROM hub.privilege_changes WHERE relation IS NOT NULL ORDER BY 1, 2;
-- 8. Who took more clearance for a while, and why?
SELECT login, details->>'step' AS step, details->>'reason' AS reason FROM hub.break_glass_uses;
-- 9. Who looked outside working hours? (this desk never opens)
SELECT login, count(*) > 0 AS looked FROM hub.after_hours_access(opens => '24:00', closes => '00:00') GROUP BY login ORDER BY login;
-- 10. Who saw far more people than usual?
SELECT login, subjects, usual FROM hub.unusual_volume(at_least => 4) ORDER BY login;
-- 11. What did those who have left see and try in their last days?
SELECT external_id, kind, count(*) > 0 AS happened FROM hub.access_by_leavers GROUP BY 1, 2 ORDER BY 1, 2;
-- 12. The login of the back end was stolen: whose data was shown?
SELECT subject = :'customer' AS this_person, data_class FROM hub.breach_scope('app'::name) ORDER BY 1, 2;
-- 13. Who asked the trail?
SELECT query, login FROM hub.audit_access GROUP BY 1, 2 ORDER BY 1, 2;
-- 14. Was the trail changed?
CALL hub.seal_audit();
SELECT kind, detail FROM hub.verify_audit();
-- 15. Can one event be proved to somebody who has no access to this database?
SELECT xid, ordinal FROM hub.break_glass_uses LIMIT 1 \gset
SELECT jsonb_object_keys(hub.audit_proof(:'xid', :ordinal)) AS proof ORDER BY 1;
