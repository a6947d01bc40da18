-- DROP EXTENSION is refused while a relation is registered, even one that has lost its triggers and policies.
BEGIN;
SELECT plan(2);
CREATE TABLE person (person_id uuid NOT NULL);
INSERT INTO hub.governed (relation, subject_column) VALUES ('person', 'person_id');
SELECT throws_ok('DROP EXTENSION customer_hub CASCADE', 'CH306', 'cannot drop extension customer_hub while relations are governed by it', 'with CASCADE too');
SELECT has_table('person', 'and the table is still there');
SELECT * FROM finish();
ROLLBACK;
