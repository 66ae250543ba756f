# By its mount and serial number, and for one that is stored the store's mount and path:
terraform import brownie_client_certificate.acme_app pki/39:dd:2e:90:b7:23:1f:8d@brownie:clients/acme-app
terraform import brownie_client_certificate.reports pki/44:0c:6a:13:9e:51:02:7b
