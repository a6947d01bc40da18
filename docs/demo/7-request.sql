SELECT hub.request_approval('export',
       '{"relation": "crm.message", "columns": ["kind", "body"], "where": null, "max_rows": 10}',
       'the service desk answers from a spreadsheet on Friday') AS request;
