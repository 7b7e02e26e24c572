// The functions app on Flex Consumption. HTTP functions share instances, every other function has its own.
param token string
param location string
param tags object
param identityId string
param clientId string
param storageName string
param deploymentContainer string
param eventHubsHost string
param eventHubName string
param triggerGroup string
param replayGroup string
param iotHubHost string
param pubSubEndpoint string
param vaultUri string
param insightsConnection string
param pageUrl string
param serviceDepartmentUrl string
param operators int
param instancesMax int

@allowed([512, 2048, 4096])
param instanceMemoryMb int

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource plan 'Microsoft.Web/serverfarms@2023-12-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2023-12-01' = {
  name: 'func-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'functions' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${deploymentContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'node', version: '22' }
      scaleAndConcurrency: { maximumInstanceCount: instancesMax, instanceMemoryMB: instanceMemoryMb }
    }
    siteConfig: { minTlsVersion: '1.2', http20Enabled: true }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: {
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: clientId
      AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
      AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
      AzureWebJobsStorage__tableServiceUri: storage.properties.primaryEndpoints.table
      EventHubConnection__credential: 'managedidentity'
      EventHubConnection__clientId: clientId
      EventHubConnection__fullyQualifiedNamespace: eventHubsHost
      EVENT_HUB_NAME: eventHubName
      EVENT_HUB_CONSUMER_GROUP: triggerGroup
      REPLAY_CONSUMER_GROUP: replayGroup
      IOT_HUB_CONNECTION__hostName: iotHubHost
      WEB_PUBSUB_CONNECTION__serviceUri: pubSubEndpoint
      AZURE_CLIENT_ID: clientId
      SERVICE_DEPARTMENT_URL: serviceDepartmentUrl
      SERVICE_DEPARTMENT_SECRET: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/service-department-secret)'
      OPERATOR_TOKEN: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/operator-token)'
      PUBLIC_URL: pageUrl
      PLATFORM_SIGN_IN: 'static-web-apps'
      OPERATORS: string(operators)
      APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
    }
  }
}

output functionsId string = app.id
