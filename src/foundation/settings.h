/* settings.h: every GUC of customer_hub, readable only through a getter. */
#ifndef CUSTOMER_HUB_SETTINGS_H
#define CUSTOMER_HUB_SETTINGS_H

#include "postgres.h"

extern void settings_init(void);

extern const char *settings_key_directory(void);
extern const char *settings_key_command(void);
extern int	settings_token_max_lifetime(void);
extern int	settings_token_clock_skew(void);
extern bool settings_redact_log(void);
extern int	settings_key_cache_size(void);
extern bool settings_allow_explain_analyze(void);
extern int	settings_audit_databases(void);
extern int	settings_reveal_ring_size(void);
extern int	settings_seal_interval(void);
extern bool settings_standby_reveal(void);
extern bool settings_durable_reveal(void);
extern const char *settings_audit_anchor_directory(void);

#endif							/* CUSTOMER_HUB_SETTINGS_H */
