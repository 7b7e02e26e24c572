// The page, behind the platform's sign-in.
param token string
param location string
param tags object

resource page 'Microsoft.Web/staticSites@2023-12-01' = {
  name: 'stapp-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'page' })
  sku: { name: 'Standard', tier: 'Standard' }
  properties: { allowConfigFileUpdates: true }
}

output name string = page.name
output url string = 'https://${page.properties.defaultHostname}'
