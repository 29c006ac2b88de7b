-- Whom postgres-exporter connects as: it reads figures of the server, and no table of the clinic. Run once as superuser
-- in the clinic's database; then give the role a password (\password sigilo_monitor) or a certificate.
CREATE ROLE sigilo_monitor LOGIN IN ROLE pg_monitor;
GRANT CONNECT ON DATABASE sigilo TO sigilo_monitor;
