-- types/enums: closed lists of the customer model

CREATE TYPE hub.channel AS ENUM (
	'whatsapp', 'messenger', 'instagram', 'line', 'telegram', 'email', 'web', 'mixdesk', 'sms', 'voice'
);
COMMENT ON TYPE hub.channel IS 'channel that a message or an identity comes from';

CREATE TYPE hub.conversation_status AS ENUM ('open', 'pending', 'snoozed', 'resolved');
COMMENT ON TYPE hub.conversation_status IS 'where a conversation stands';

CREATE TYPE hub.message_direction AS ENUM ('inbound', 'outbound', 'note');
COMMENT ON TYPE hub.message_direction IS 'from the customer, to the customer, or between staff';

CREATE TYPE hub.follow_up_status AS ENUM ('new', 'contacted', 'qualified', 'won', 'lost', 'dormant');
COMMENT ON TYPE hub.follow_up_status IS 'where sales stands with a customer';
