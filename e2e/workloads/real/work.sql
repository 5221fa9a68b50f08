PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, name TEXT, weight REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
INSERT INTO t SELECT i, (i * 7919) % 1009, 'name ' || (i * 31 % 5003), i * 0.5 FROM n;
CREATE INDEX t_name ON t(name);
CREATE INDEX t_k ON t(k, weight);
SELECT k, count(*), avg(weight), max(name) FROM t GROUP BY k ORDER BY 3 DESC LIMIT 5;
SELECT a.k, sum(b.weight) FROM t a JOIN t b ON a.id = b.k GROUP BY a.k ORDER BY 2 LIMIT 5;
SELECT count(*) FROM t WHERE name LIKE '%99%' AND weight > 1000;
SELECT sum(length(replace(upper(name), 'NAME', 'x'))) FROM t;
UPDATE t SET weight = weight * 1.5 WHERE k % 3 = 0;
SELECT name, group_concat(id) FROM t WHERE k < 40 GROUP BY name ORDER BY name LIMIT 5;
