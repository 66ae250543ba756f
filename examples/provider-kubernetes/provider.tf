terraform {
  required_version = ">= 1.11"
  required_providers {
    brownie = { source = "longyi-brownie/brownie" }
  }
}

variable "cluster" {
  description = "The Kubernetes cluster, such as an aws_eks_cluster, of which Terraform runs outside."
  type        = object({ name = string, endpoint = string, ca_pem = string })
}

provider "brownie" {
  username    = "brownie-terraform"
  sslrootcert = "ca.pem"
  sslcert     = "client.crt"
  sslkey      = "client.key"

  kubernetes = {
    namespace              = "postgres"
    service                = "postgres-primary"
    host                   = var.cluster.endpoint
    cluster_ca_certificate = var.cluster.ca_pem
    exec = {
      api_version = "client.authentication.k8s.io/v1beta1"
      command     = "aws"
      args        = ["eks", "get-token", "--cluster-name", var.cluster.name]
    }
  }
}
