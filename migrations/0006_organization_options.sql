-- What Terraform configures about an organization and the platform's tables have no column for.

-- +goose Up
CREATE TABLE brownie.organization_options (
    organization_id uuid PRIMARY KEY REFERENCES public.organizations (id) ON DELETE CASCADE,
    force_destroy boolean NOT NULL
);
COMMENT ON COLUMN brownie.organization_options.force_destroy IS
    'Whether Terraform may delete the organization and its teams together with what it does not manage in them.';

-- +goose Down
DROP TABLE brownie.organization_options;
