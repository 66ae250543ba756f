import {
  to = brownie_user.ada
  id = "ada@acme.example"
}
