-- privacy/html: tables and charts of a page that needs nothing beside itself, and
-- reads as well on paper.

CREATE FUNCTION hub.html_escape(value pg_catalog.text) RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
	RETURN pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(value,
		'&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');
COMMENT ON FUNCTION hub.html_escape(text) IS 'Text as it stands in an HTML document';

CREATE FUNCTION hub.html_table(name pg_catalog.text, headings pg_catalog.text[], cells pg_catalog.jsonb, empty pg_catalog.text)
	RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN coalesce(jsonb_array_length(cells), 0) = 0
		THEN '<p class="none">' || hub.html_escape(empty) || E'</p>\n'
		ELSE '<table id="' || hub.html_escape(name) || E'">\n<thead><tr>'
			|| (SELECT string_agg(CASE WHEN jsonb_typeof(cells #> ARRAY['0', (n - 1)::text]) = 'number' THEN '<th class="n">' ELSE '<th>' END
					|| hub.html_escape(h) || '</th>', '' ORDER BY n)
				FROM unnest(headings) WITH ORDINALITY AS a (h, n))
			|| E'</tr></thead>\n<tbody>\n'
			|| (SELECT string_agg('<tr>' || (
					SELECT string_agg(CASE WHEN jsonb_typeof(cell) = 'number' THEN '<td class="n">' ELSE '<td>' END
							|| hub.html_escape(coalesce(cell #>> '{}', '–')) || '</td>', '' ORDER BY m)
					FROM jsonb_array_elements(line) WITH ORDINALITY AS b (cell, m)) || '</tr>', E'\n' ORDER BY n)
				FROM jsonb_array_elements(cells) WITH ORDINALITY AS c (line, n))
			|| E'\n</tbody></table>\n' END
$$;
COMMENT ON FUNCTION hub.html_table(text, text[], jsonb, text) IS
'HTML table of an array of rows, each an array of cells; numbers are set flush right. Without rows, a paragraph that says so';

-- Stacked columns, one for each period of time; shades differ in grey too, for print.
CREATE FUNCTION hub.html_columns(name pg_catalog.text, label pg_catalog.text, points pg_catalog.jsonb) RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH point AS (
		SELECT p ->> 0 AS period, p ->> 1 AS series, (p ->> 2)::numeric AS value
		FROM jsonb_array_elements(points) AS a (p)
	), series AS (
		SELECT series.series, row_number() OVER (ORDER BY series.series) AS number,
			(ARRAY['#17324d', '#d98a1f', '#4f8fc0', '#8c2f39', '#9cc7a5', '#6b5b95', '#c8c8c8'])[
				(row_number() OVER (ORDER BY series.series) - 1) % 7 + 1] AS colour
		FROM (SELECT DISTINCT point.series FROM point WHERE point.series IS NOT NULL) AS series
	), period AS (
		SELECT p.period, row_number() OVER (ORDER BY p.period) - 1 AS place, count(*) OVER () AS periods,
			sum(p.total) OVER (PARTITION BY p.period) AS total
		FROM (SELECT point.period, sum(point.value) AS total FROM point GROUP BY 1) AS p
	), scale AS (
		SELECT greatest(2 * ceil(max(period.total) / 2), 2) AS top, 640.0 / greatest(max(period.periods), 8) AS width FROM period
	), bar AS (
		SELECT period.place, point.series, point.period, point.value, series.colour,
			round(150 * point.value / scale.top, 2) AS height,
			round(150 * sum(point.value) OVER (PARTITION BY point.period ORDER BY point.series) / scale.top, 2) AS reach
		FROM point JOIN series USING (series) JOIN period USING (period) CROSS JOIN scale
		WHERE point.value > 0
	)
	SELECT CASE WHEN NOT EXISTS (SELECT FROM bar) THEN '' ELSE
		format('<figure id="%s"><figcaption>%s</figcaption><svg viewBox="0 0 720 %s" role="img" aria-label="%s">', hub.html_escape(name), hub.html_escape(label),
			198 + 18 * (((SELECT count(*) FROM series) + 3) / 4), hub.html_escape(label))
		|| (SELECT string_agg(format('<line x1="50" x2="700" y1="%1$s" y2="%1$s" class="grid"/><text x="44" y="%2$s" class="end">%3$s</text>',
				170 - 150 * n / 2, 174 - 150 * n / 2, round(scale.top * n / 2)), '')
			FROM scale, generate_series(0, 2) n)
		|| (SELECT string_agg(format('<rect x="%s" y="%s" width="%s" height="%s" fill="%s"><title>%s, %s: %s</title></rect>',
				round(55 + bar.place * scale.width, 2), 170 - bar.reach, round(scale.width * 0.75, 2), bar.height, bar.colour,
				hub.html_escape(bar.period), hub.html_escape(bar.series), bar.value), '' ORDER BY bar.place, bar.series)
			FROM bar, scale)
		|| (SELECT string_agg(format('<text x="%s" y="186" class="middle">%s</text>',
				round(55 + (period.place + 0.375) * scale.width, 2), hub.html_escape(substr(period.period, 6))), '')
			FROM period, scale WHERE period.place % greatest(ceil(period.periods / 14.0), 1) = 0)
		|| (SELECT string_agg(format('<rect x="%s" y="%s" width="11" height="11" fill="%s"/><text x="%s" y="%s">%s</text>',
				55 + 160 * ((number - 1) % 4), 198 + 18 * ((number - 1) / 4), colour,
				71 + 160 * ((number - 1) % 4), 208 + 18 * ((number - 1) / 4), hub.html_escape(series)), '') FROM series)
		|| E'</svg></figure>\n' END
$$;
COMMENT ON FUNCTION hub.html_columns(text, text, jsonb) IS
'SVG of stacked columns from an array of [period, series, value]; nothing when all values are zero';

CREATE FUNCTION hub.html_head(title pg_catalog.text) RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT E'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>' || hub.html_escape(title) || E'</title>\n<style>\n' ||
'@page { size: A4; margin: 16mm }
body { font: 14px/1.45 system-ui, "Liberation Sans", sans-serif; color: #1a1f26; background: #fff; max-width: 780px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 26px; margin: 0 }
h2 { font-size: 17px; margin: 28px 0 6px; border-bottom: 2px solid #17324d; padding-bottom: 3px; break-after: avoid }
p { margin: 6px 0 }
p.period, p.none, figcaption, footer { color: #56606b }
p.good { color: #1d6b3a; font-weight: 600 }
p.bad { color: #8c2f39; font-weight: 600 }
dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; margin: 18px 0 }
dl div { border: 1px solid #c9d1d9; border-left: 5px solid #17324d; padding: 7px 10px; break-inside: avoid }
dl div.bad { border-left-color: #8c2f39 }
dl div.bad dd { color: #8c2f39; font-weight: 600 }
dt { font-size: 12px; color: #56606b }
dd { margin: 0; font-size: 22px; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100%; margin: 8px 0 }
thead { display: table-header-group }
th { text-align: left; font-size: 12px; color: #56606b; border-bottom: 1px solid #17324d; padding: 3px 8px 3px 0 }
td { border-bottom: 1px solid #e2e7ec; padding: 3px 8px 3px 0; vertical-align: top }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums }
th.n + th:not(.n), td.n + td:not(.n) { padding-left: 20px }
tr, figure { break-inside: avoid }
figure { margin: 8px 0 }
svg { width: 100%; height: auto }
svg text { font: 11px system-ui, "Liberation Sans", sans-serif; fill: #56606b }
.end { text-anchor: end }
.middle { text-anchor: middle }
.grid { stroke: #e2e7ec }
pre { font: 11px/1.4 "Liberation Mono", monospace; background: #f3f5f7; padding: 8px; white-space: pre-wrap; word-break: break-all }
footer { margin-top: 28px; font-size: 12px }
</style></head><body>
'
$$;
COMMENT ON FUNCTION hub.html_head(text) IS 'Head of an HTML document with the styles of a report';
