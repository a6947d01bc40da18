SELECT count(*) AS customers FROM crm.customer;
SELECT count(*) AS found FROM crm.identity WHERE phone = '+4915112345678';
SELECT count(*) AS messages FROM crm.message;
