\set whatsapp `cat payloads/whatsapp.json`
\set telegram `cat payloads/telegram.json`
\set email `cat payloads/email.json`
\set web `cat payloads/web.json`

SELECT event_no, kind, status FROM hub.ingest(1, :'whatsapp');
SELECT event_no, kind, status FROM hub.ingest(2, :'telegram');
SELECT event_no, kind, status FROM hub.ingest(3, :'email');
SELECT event_no, kind, status FROM hub.ingest(4, :'web');

-- channels deliver again when they hear no answer: nothing is stored twice
SELECT event_no, kind, status FROM hub.ingest(1, :'whatsapp');

-- what arrives is for others to read
SELECT count(*) FROM crm.message;
