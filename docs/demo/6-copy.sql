COPY crm.customer TO STDOUT;
COPY (SELECT display_name, intent FROM crm.customer) TO STDOUT;
CREATE TEMP TABLE loot AS SELECT * FROM crm.message;
