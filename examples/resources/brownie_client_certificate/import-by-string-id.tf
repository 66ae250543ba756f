import {
  to = brownie_client_certificate.acme_app
  id = "pki/39:dd:2e:90:b7:23:1f:8d@brownie:clients/acme-app"
}
