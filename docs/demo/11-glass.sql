SELECT hub.break_glass('the caller is in danger, the police ask for the number', 5) > now() AS in_force;
SELECT DISTINCT i.phone::text FROM crm.identity i WHERE i.kind = 'phone';
SELECT hub.end_break_glass() AS ended;
SELECT DISTINCT i.phone::text FROM crm.identity i WHERE i.kind = 'phone';
