SELECT hub.approve(2, 'identity of the requester was checked') AS approved;
CALL hub.run_erasure(1);
SELECT status FROM hub.erasure_plan;
SELECT hub.erasure_receipt(1) AS receipt \gset
SELECT jsonb_object_keys(:'receipt') AS receipt;
SELECT hub.verify_receipt(:'receipt') AS receipt_verifies;
SELECT hub.verify_receipt(jsonb_set(:'receipt', '{erased_at}', '"2020-01-01T00:00:00Z"')) AS altered_receipt_verifies;
