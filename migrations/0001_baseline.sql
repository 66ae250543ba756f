-- The schema of the existing platform (Alembic revision d607e412e7b0), reproduced exactly: its SQLAlchemy models use
-- these names, types and constraints. What this project adds comes in later migrations.

-- +goose Up
CREATE TYPE public.agenttype AS ENUM ('INCIDENT_RESPONSE', 'MONITORING', 'ANALYSIS', 'NOTIFICATION', 'CUSTOM');
CREATE TYPE public.configstatus AS ENUM ('DRAFT', 'ACTIVE', 'DEPRECATED', 'ARCHIVED');
CREATE TYPE public.configtype AS ENUM ('ORGANIZATION', 'TEAM', 'ALERT', 'AGENT', 'GLOBAL');
CREATE TYPE public.incidentpriority AS ENUM ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL');
CREATE TYPE public.incidentstatus AS ENUM ('OPEN', 'IN_PROGRESS', 'RESOLVED', 'CLOSED', 'CANCELLED');
CREATE TYPE public.userrole AS ENUM ('ADMIN', 'MEMBER', 'VIEWER');

CREATE TABLE public.organizations (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    name varchar(255) NOT NULL,
    slug varchar(100) NOT NULL,
    description text,
    is_active boolean NOT NULL,
    config_yaml text,
    config_json json,
    config_version varchar(50),
    settings json,
    max_teams integer NOT NULL,
    max_users_per_team integer NOT NULL,
    CONSTRAINT organizations_pkey PRIMARY KEY (id),
    CONSTRAINT organizations_name_key UNIQUE (name),
    CONSTRAINT organizations_slug_key UNIQUE (slug)
);
CREATE INDEX ix_organizations_slug ON public.organizations (slug);

CREATE TABLE public.teams (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    org_id uuid NOT NULL,
    created_by uuid,
    updated_by uuid,
    name varchar(255) NOT NULL,
    slug varchar(100) NOT NULL,
    description text,
    is_active boolean NOT NULL,
    config_yaml text,
    config_json json,
    config_version varchar(50),
    settings json,
    permissions json,
    organization_id uuid NOT NULL,
    CONSTRAINT teams_pkey PRIMARY KEY (id),
    CONSTRAINT teams_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE
);
CREATE INDEX ix_teams_org_id ON public.teams (org_id);
CREATE INDEX ix_teams_organization_id ON public.teams (organization_id);

CREATE TABLE public.users (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    org_id uuid NOT NULL,
    created_by uuid,
    updated_by uuid,
    deleted_at timestamptz,
    deleted_by uuid,
    email varchar(255) NOT NULL,
    username varchar(100) NOT NULL,
    full_name varchar(255),
    avatar_url varchar(500),
    password_hash varchar(255),
    is_active boolean NOT NULL,
    is_verified boolean NOT NULL,
    oidc_subject varchar(255),
    oidc_provider varchar(100),
    team_id uuid NOT NULL,
    role public.userrole NOT NULL,
    preferences json,
    organization_id uuid NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_oidc_subject_key UNIQUE (oidc_subject),
    CONSTRAINT users_username_key UNIQUE (username),
    CONSTRAINT users_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE,
    CONSTRAINT users_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE CASCADE
);
CREATE INDEX ix_users_email ON public.users (email);
CREATE INDEX ix_users_oidc_subject ON public.users (oidc_subject);
CREATE INDEX ix_users_org_id ON public.users (org_id);
CREATE INDEX ix_users_organization_id ON public.users (organization_id);
CREATE INDEX ix_users_team_id ON public.users (team_id);
CREATE INDEX ix_users_username ON public.users (username);

CREATE TABLE public.agent_configs (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    org_id uuid NOT NULL,
    created_by uuid,
    updated_by uuid,
    version integer NOT NULL,
    name varchar(255) NOT NULL,
    description text,
    agent_type public.agenttype NOT NULL,
    is_active boolean NOT NULL,
    config_yaml text,
    config_json json,
    config_version varchar(50),
    config json NOT NULL,
    execution_timeout_seconds integer NOT NULL,
    max_retries integer NOT NULL,
    retry_delay_seconds integer NOT NULL,
    triggers json,
    conditions json,
    tags json,
    config_metadata json,
    team_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    CONSTRAINT agent_configs_pkey PRIMARY KEY (id),
    CONSTRAINT agent_configs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE,
    CONSTRAINT agent_configs_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE CASCADE
);
CREATE INDEX ix_agent_configs_org_id ON public.agent_configs (org_id);
CREATE INDEX ix_agent_configs_organization_id ON public.agent_configs (organization_id);
CREATE INDEX ix_agent_configs_team_id ON public.agent_configs (team_id);

CREATE TABLE public.configs (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    org_id uuid NOT NULL,
    created_by uuid,
    updated_by uuid,
    version integer NOT NULL,
    name varchar(255) NOT NULL,
    description text,
    config_type public.configtype NOT NULL,
    status public.configstatus NOT NULL,
    name_pattern varchar(500),
    severity_pattern varchar(500),
    team_pattern varchar(500),
    config_yaml text,
    config_json json,
    config_version varchar(50),
    priority integer NOT NULL,
    is_global boolean NOT NULL,
    is_active boolean NOT NULL,
    tags json,
    config_metadata json,
    team_id uuid,
    organization_id uuid NOT NULL,
    CONSTRAINT configs_pkey PRIMARY KEY (id),
    CONSTRAINT configs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE,
    CONSTRAINT configs_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE CASCADE
);
CREATE INDEX ix_configs_config_type ON public.configs (config_type);
CREATE INDEX ix_configs_is_active ON public.configs (is_active);
CREATE INDEX ix_configs_org_id ON public.configs (org_id);
CREATE INDEX ix_configs_organization_id ON public.configs (organization_id);
CREATE INDEX ix_configs_priority ON public.configs (priority);
CREATE INDEX ix_configs_status ON public.configs (status);
CREATE INDEX ix_configs_team_id ON public.configs (team_id);

CREATE TABLE public.incidents (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    org_id uuid NOT NULL,
    created_by uuid,
    updated_by uuid,
    version integer NOT NULL,
    idempotency_key varchar(255),
    title varchar(500) NOT NULL,
    description text,
    status public.incidentstatus NOT NULL,
    priority public.incidentpriority NOT NULL,
    assigned_to uuid,
    started_at timestamptz,
    resolved_at timestamptz,
    closed_at timestamptz,
    tags json,
    incident_metadata json,
    response_time_minutes integer,
    resolution_time_minutes integer,
    team_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    CONSTRAINT incidents_pkey PRIMARY KEY (id),
    CONSTRAINT incidents_idempotency_key_key UNIQUE (idempotency_key),
    CONSTRAINT incidents_assigned_to_fkey FOREIGN KEY (assigned_to) REFERENCES public.users(id) ON DELETE SET NULL,
    CONSTRAINT incidents_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL,
    CONSTRAINT incidents_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE,
    CONSTRAINT incidents_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE CASCADE
);
CREATE INDEX ix_incidents_assigned_to ON public.incidents (assigned_to);
CREATE INDEX ix_incidents_created_by ON public.incidents (created_by);
CREATE INDEX ix_incidents_idempotency_key ON public.incidents (idempotency_key);
CREATE INDEX ix_incidents_org_id ON public.incidents (org_id);
CREATE INDEX ix_incidents_organization_id ON public.incidents (organization_id);
CREATE INDEX ix_incidents_team_id ON public.incidents (team_id);

CREATE TABLE public.stats (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    org_id uuid NOT NULL,
    metric_name varchar(255) NOT NULL,
    metric_type varchar(50) NOT NULL,
    value double precision NOT NULL,
    count integer,
    "timestamp" timestamptz NOT NULL,
    time_window varchar(50),
    labels json,
    description text,
    unit varchar(50),
    team_id uuid,
    organization_id uuid NOT NULL,
    CONSTRAINT stats_pkey PRIMARY KEY (id),
    CONSTRAINT stats_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id) ON DELETE CASCADE,
    CONSTRAINT stats_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id) ON DELETE CASCADE
);
CREATE INDEX ix_stats_metric_name ON public.stats (metric_name);
CREATE INDEX ix_stats_org_id ON public.stats (org_id);
CREATE INDEX ix_stats_organization_id ON public.stats (organization_id);
CREATE INDEX ix_stats_team_id ON public.stats (team_id);
CREATE INDEX ix_stats_timestamp ON public.stats ("timestamp");

CREATE TABLE public.alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- The platform's own migration tool must find its latest revision, or it would try to create all of this again.
INSERT INTO public.alembic_version (version_num) VALUES ('d607e412e7b0');

-- +goose Down
DROP TABLE public.stats, public.incidents, public.configs, public.agent_configs, public.users, public.teams,
    public.organizations, public.alembic_version;
DROP TYPE public.agenttype, public.configstatus, public.configtype, public.incidentpriority, public.incidentstatus,
    public.userrole;
