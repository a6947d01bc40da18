SELECT count(*) AS customers FROM crm.customer;
SELECT count(*) AS identities FROM crm.identity;
SELECT count(*) AS messages FROM crm.message;
