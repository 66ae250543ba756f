// Command terraform-provider-brownie serves the Brownie provider to Terraform.
package main

func main() {}
