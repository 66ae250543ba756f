# The whole text of a file is in its template, which is given the variables as they are: the project's tests start real
# servers from the same templates, so that what is tested is what is rendered here.
locals {
  variables = {
    min_tls_version = var.min_tls_version
    server          = var.server
    pooler          = var.pooler
  }
}
