#define TSN_VERSION 3
