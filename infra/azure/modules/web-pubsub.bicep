// Tells open pages at once. Keys are off: the app speaks by its identity.
param token string
param location string
param tags object
param sku string
param units int

resource pubSub 'Microsoft.SignalRService/webPubSub@2024-03-01' = {
  name: 'wps-${token}'
  location: location
  tags: tags
  sku: { name: sku, capacity: units }
  properties: { disableLocalAuth: true, tls: { clientCertEnabled: false } }
}

output name string = pubSub.name
output endpoint string = 'https://${pubSub.properties.hostName}'
