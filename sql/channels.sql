-- What a payload says, and what becomes of it. Ids of rows are random, so they
-- are counted and compared, not shown.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
\set whatsapp `cat test/fixtures/channels/whatsapp_batch.json`
\set telegram `cat test/fixtures/channels/telegram_updates.json`
\set postmark `cat test/fixtures/channels/postmark_inbound.json`
\set form `cat test/fixtures/channels/web_form.json`
\set tally `cat test/fixtures/channels/tally_native.json`
\set mixdesk `cat test/fixtures/channels/mixdesk_push.json`

-- parsers: every event of every entry, in order
SELECT kind, external_id, sender, sender_kind, recipient, occurred_at, text, reply_to, status, reason
FROM hub.parse_whatsapp(:'whatsapp');
SELECT kind, attachments, details FROM hub.parse_whatsapp(:'whatsapp') WHERE attachments IS NOT NULL OR details IS NOT NULL;
SELECT kind, external_id, sender, sender_kind, occurred_at, text, reply_to, status, reason
FROM hub.parse_telegram(:'telegram');
SELECT kind, attachments, details FROM hub.parse_telegram(:'telegram') WHERE attachments IS NOT NULL OR details IS NOT NULL;
\x on
SELECT * FROM hub.parse_email(:'postmark');
SELECT * FROM hub.parse_web(:'form');
SELECT * FROM hub.parse_web(:'tally');
SELECT * FROM hub.parse_mixdesk(:'mixdesk');
\x off

-- other inbound services, as far as their JSON is a parsed message
SELECT external_id, sender, occurred_at, text, details ->> 'subject' AS subject, reply_to, status, reason
FROM (VALUES
	('{"sender": "a@x.example", "from": "\"Ann, Dr\" <ann@x.example>", "recipient": "h@y.example", "subject": "S", "body-plain": "B", "Message-Id": "<1@x.example>", "timestamp": "1767225600"}'::jsonb),
	('{"recipient": "h@y.example", "body-mime": "From: ann@x.example"}'),
	('{"From": "Bo <bo@x.example>", "Recipient": "h@y.example", "Subject": "S", "Text-part": "B", "Headers": {"Message-ID": "<2@x.example>", "Date": "Thu, 1 Jan 2026 00:00:00 GMT", "In-Reply-To": ["<0@y.example>"]}}'),
	('[{"event": "inbound", "ts": 1767225600, "msg": {"from_email": "cy@x.example", "text": "B", "subject": "S", "headers": {"Message-Id": "<3@x.example>"}}}]'),
	('{"type": "email.received", "created_at": "2026-01-01T00:00:00.000Z", "data": {"from": "Di <di@x.example>", "to": ["h@y.example"], "subject": "S", "message_id": "<4@x.example>", "attachments": []}}'),
	('{"from": "Ed <ed@x.example>", "to": "h@y.example", "subject": "S", "html": "<style>p{}</style><p>B &amp; b&#8364;</p>", "envelope": "{}", "headers": "Received: x\r\n by y\r\nMessage-ID: <5@x.example>\r\nDate: Thu, 01 Jan 2026 01:00:00 +0100\r\n"}'),
	('{"notificationType": "Received", "mail": {"messageId": "ses1", "timestamp": "2026-01-01T00:00:00.000Z", "commonHeaders": {"from": ["fi@x.example"], "messageId": "<6@x.example>"}}}'),
	('{"RecordType": "Bounce", "MessageID": "p-1", "Email": "gil@x.example", "Type": "HardBounce", "BouncedAt": "2026-01-01T00:00:00Z"}'),
	('{"RecordType": "SubscriptionChange"}'),
	('{"FromFull": {"Email": "not an address"}, "MessageID": "7"}')
) v (payload), hub.parse_email(v.payload);

-- whatever the shape, a row and never an error
SELECT channel, payload, e.kind, e.status, e.reason
FROM (VALUES ('null'::jsonb), ('[]'), ('{}'), ('"x"'), ('[1, {"a": null}]'), ('{"entry": [{"changes": [{"value": {"messages": [null, 7, {"from": {}}]}}, 5]}, 1]}')) p (payload)
CROSS JOIN (VALUES ('whatsapp'), ('telegram'), ('email'), ('web'), ('mixdesk')) c (channel)
CROSS JOIN LATERAL (
	SELECT * FROM hub.parse_whatsapp(payload) WHERE channel = 'whatsapp'
	UNION ALL SELECT * FROM hub.parse_telegram(payload) WHERE channel = 'telegram'
	UNION ALL SELECT * FROM hub.parse_email(payload) WHERE channel = 'email'
	UNION ALL SELECT * FROM hub.parse_web(payload) WHERE channel = 'web'
	UNION ALL SELECT * FROM hub.parse_mixdesk(payload) WHERE channel = 'mixdesk') e
ORDER BY channel, payload::text;

-- times, in every notation
SELECT payload, occurred_at FROM (VALUES
	('1767225600'), ('1767225600123'), ('2026-01-01T00:00:00Z'), ('2026-01-01T01:30:00.25+0130'), ('2026-01-01 00:00:00'), ('2026-01-01'),
	('20260101T000000'), ('Thu, 1 Jan 2026 00:00:00 +0000 (UTC)'), ('1 Jan 26 00:00 EST'), ('2026-13-01T00:00:00Z'), ('2026-02-30'), ('soon'), ('')
) v (payload), hub.parse_web(jsonb_build_object('text', 'x', 'submitted_at', payload));

-- the customer model is made once, by whoever will own it
SELECT hub.ingest(1, '{}');
SELECT hub.create_hub();
SELECT hub.create_hub();
SELECT hub.create_message_partitions();
SELECT * FROM hub.check_subject_graph() WHERE severity = 'error';
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	AND NOT EXISTS (SELECT FROM hub.governed g WHERE g.relation = c.oid) ORDER BY 1;
SELECT count(*) AS extension_members FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relnamespace = 'crm'::regnamespace;
-- nobody reads the secret of an account
SELECT r.rolname FROM pg_roles r
WHERE r.rolname LIKE 'hub\_%' AND has_column_privilege(r.rolname, 'crm.channel_account', 'secret', 'SELECT');

SELECT hub.add_business_line('Lamps') AS line \gset
SELECT hub.add_team('Berlin', 'DE', :line) AS team \gset
SELECT hub.add_channel_account('whatsapp', '880011', 'DE', :line, :team) AS whatsapp_account \gset
SELECT hub.add_channel_account('telegram', 'lampbot', 'DE', :line) AS telegram_account \gset
SELECT hub.add_channel_account('email', 'help@shop.example', 'DE', :line) AS email_account \gset
SELECT hub.add_channel_account('web', 'shop.example', 'DE', :line) AS web_account \gset
SELECT hub.add_channel_account('line', '1657', 'DE', :line) AS line_account \gset
SELECT channel, threading FROM crm.channel_account ORDER BY 1;

-- each a clear message
SELECT hub.add_channel_account('whatsapp', '880011', 'DE', :line);
SELECT hub.add_channel_account('whatsapp', '1', 'DE', 99);
SELECT hub.add_channel_account('whatsapp', '1', 'DE', :line, 99);
SELECT hub.add_channel_account('whatsapp', '1', 'DE', :line, threading => 'loose');
SELECT hub.add_channel_account('pigeon', '1', 'DE', :line);
SELECT hub.add_channel_account('whatsapp', NULL, 'DE', :line);
SELECT hub.ingest(99, '{}');
SELECT hub.ingest(:line_account, '{"events": []}');
SELECT hub.ingest(:whatsapp_account, NULL);
SELECT hub.ingest(:whatsapp_account, NULL, '\xff');

-- one payload
SELECT event_no, kind, status, reason, customer_id IS NOT NULL AS customer, conversation_id IS NOT NULL AS conversation,
	message_id IS NOT NULL AS message
FROM hub.ingest(:whatsapp_account, :'whatsapp');
SELECT count(DISTINCT customer_id) AS customers, count(*) AS identities, count(*) FILTER (WHERE phone IS NOT NULL) AS phones
FROM crm.identity WHERE channel = 'whatsapp';
SELECT kind, valid_to FROM crm.identity WHERE valid_to IS NOT NULL;
SELECT direction, kind, occurred_at, delivery, unsent_at, body IS NULL AS empty, attachments IS NULL AS no_files, tableoid <> 'crm.message_default'::regclass AS in_month
FROM crm.message WHERE account_id = :whatsapp_account ORDER BY occurred_at;
SELECT kind, waits_for FROM crm.pending_ref;
-- what is stored is sealed, and found by equality all the same
SELECT address::text LIKE 'hub1:%' AS sealed, kind FROM crm.identity WHERE address = '4915550000001';
SELECT kind FROM crm.identity WHERE phone = '+49 1555 0000002';
-- and again
SELECT status, count(*) FROM hub.ingest(:whatsapp_account, :'whatsapp') GROUP BY 1 ORDER BY 1;

SELECT event_no, kind, status, reason FROM hub.ingest(:telegram_account, :'telegram');
SELECT status FROM hub.ingest(:email_account, :'postmark');
-- typed addresses find nobody, they suggest
SELECT status FROM hub.ingest(:web_account, :'form');
SELECT status FROM hub.ingest(:web_account, '{"id": "form-502", "visitor": "v-1", "email": "TIMO@hart.example", "message": "me again"}');
SELECT count(DISTINCT customer_id) AS customers FROM crm.identity WHERE channel = 'web' AND kind = 'visitor';
SELECT ground FROM crm.merge_suggestion;

-- signatures
\set body '{"update_id": 1, "message": {"message_id": 1, "date": 1767225600, "chat": {"id": 9, "type": "private"}, "from": {"id": 9}, "text": "signed"}}'
SELECT hub.set_channel_account(:telegram_account, secret => 'token-1');
SELECT status FROM hub.ingest(:telegram_account, :'body');
SELECT status FROM hub.ingest(:telegram_account, :'body', signature => 'token-2');
SELECT status FROM hub.ingest(:telegram_account, :'body', signature => 'token-1');
SELECT hub.set_channel_account(:telegram_account, secret => '');
SELECT status FROM hub.ingest(:telegram_account, :'body');
-- RFC 4231 test case 2 and RFC 2202 test case 2, in the channels' own wrappings
SELECT c.channel, hub.check_signature(c.channel, hub.seal_secret('Jefe'), 'what do ya want for nothing?', c.signature) AS good,
	hub.check_signature(c.channel, hub.seal_secret('jefe'), 'what do ya want for nothing?', c.signature) AS other_secret,
	hub.check_signature(c.channel, hub.seal_secret('Jefe'), 'what do ya want for nothing!', c.signature) AS other_body,
	hub.check_signature(c.channel, hub.seal_secret('Jefe'), NULL, c.signature) AS no_body
FROM (VALUES
	('whatsapp', 'sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
	('line', encode('\x5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843', 'base64')),
	('mixdesk', 'mixdesk_sign:' || encode('effcdf6ae5eb2fa2d27416d5f184df9c259a7c79', 'base64'))) c (channel, signature);

-- an account that is switched off takes nothing in
SELECT hub.set_channel_account(:web_account, active => false);
SELECT * FROM hub.ingest(:web_account, :'form');
