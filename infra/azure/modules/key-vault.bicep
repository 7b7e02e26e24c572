// The two secrets that are left: what signs webhooks, and what signs links in messages.
param token string
param location string
param tags object

@secure()
param serviceDepartmentSecret string

@secure()
param operatorToken string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: 'kv-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 7
  }
}

resource department 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'service-department-secret'
  properties: { value: serviceDepartmentSecret }
}

resource operator 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'operator-token'
  properties: { value: operatorToken }
}

output name string = vault.name
output uri string = vault.properties.vaultUri
