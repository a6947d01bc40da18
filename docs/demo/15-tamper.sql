CALL hub.seal_audit();
SELECT count(*) AS breaks FROM hub.verify_audit();

-- the trail refuses changes; a superuser can switch the refusal off
UPDATE hub.audit_event SET details = '{}' WHERE kind = 'export';
SET session_replication_role = replica;
UPDATE hub.audit_event SET details = '{}' WHERE kind = 'export';
RESET session_replication_role;

SELECT DISTINCT kind, detail FROM hub.verify_audit() ORDER BY 1, 2;
