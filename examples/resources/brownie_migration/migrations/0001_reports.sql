-- Besides the table that it makes, brownie.isolate_table locks nothing, which the plan could not know.
-- brownie:locks NONE

-- +goose Up
CREATE TABLE public.reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES public.organizations (id) ON DELETE CASCADE,
    title text NOT NULL
);
CREATE INDEX reports_organization_id_idx ON public.reports (organization_id, id);
-- A tenant sees its own reports only.
SELECT brownie.isolate_table('public.reports');

-- +goose Down
DROP TABLE public.reports;
